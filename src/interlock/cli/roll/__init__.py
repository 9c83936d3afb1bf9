"""The sub-commands of `roll`, one file each: being there is the registration."""
