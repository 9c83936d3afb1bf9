"""Drills of the alerts: an incident's series are replayed against the team's own rules and routes, before it happens again.

incident       what happened, as a course of rates and success
series         that course as the team's own metrics would have shown it
promtool       which alerts fire on it, and when: Prometheus's own evaluation
routes         whether they reach a pager: Alertmanager's own routing
drill          all of it, for one feature
missing_rule   a rule that would have fired, where none does
"""
