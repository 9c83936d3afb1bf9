"""Evidence on record: who vouches for it, what it is about, and whether it still counts.

signers    whose signatures the base accepts, and for how much; signing and verifying with ssh-keygen
ground     what an answer rests on: its age, and whose word it is
recalled   what that was, of a deployment of the past
verdicts   the gate's own verdict, for those who come after it
kept       the evidence that there is, and what speaks against each piece
"""
