"""Would the tests notice? A list that people wrote, held against the code with known hazards planted in it.

declared    the tests that must exist, and what each guards
audit       runs them on the change as it is, and with each hazard that can be planted in it
coverage    which part of each changed file they run
"""
