"""The nouns every floor speaks: verdict, finding, location, evidence, errors. Standard library only."""
