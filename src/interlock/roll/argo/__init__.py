"""Releases on Kubernetes: Argo Rollouts moves the traffic, the judge says when to stop.

declared    [roll.argo], what there is to release and how its requests are counted
answers     the words in which the judge answers Argo, and the conditions that read them
manifests   the objects that declare such a release
schema      what the API server would refuse: the user's own CRDs, as JSON Schema
checks      what Argo's controller would refuse afterwards, and what it would take and should not
engine      a judge for each release that is under way, fed from Prometheus, kept over restarts
server      the address that Argo's `web` provider polls
"""
