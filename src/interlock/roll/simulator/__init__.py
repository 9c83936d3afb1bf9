"""Plays rollouts again and again: how often a rule stops a good release, and how many users a bad one harms before."""
