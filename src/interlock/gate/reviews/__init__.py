"""Who wrote a change, and who has read it.

marks.toml    the exact strings by which assistants' work can be told, each with when and where it was seen
provenance    which of them are in a change's commits: a lower bound, never a clean bill
writers       who wrote its commits, whose approval is none
approvals     which approvals count: of distinct people, not the author's, of what is to be shipped
github        asks GitHub for them
gitlab        asks GitLab for them
load          how much there is to read, and how long reading takes
"""
