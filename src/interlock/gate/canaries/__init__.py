"""What a release really exposes first, worked out of the manifests that ship it.

exposure    how many users the first step reaches, for how long, and who watches
argo        Argo Rollouts
analysis    what could end one of them, and what merely looks on
flagger     Flagger
promql      which metrics a query measures
manifests   which objects of a project release it
beside      what else gets the traffic of those that do
"""
