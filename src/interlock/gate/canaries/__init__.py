"""What a release really exposes first, worked out of the manifests that ship it.

exposure    how many users the first step reaches, for how long, and who watches
argo        Argo Rollouts
flagger     Flagger
manifests   which objects of a project release it
"""
