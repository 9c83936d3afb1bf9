"""The nouns every floor speaks: verdict, finding, location, settings, errors. Standard library only."""
