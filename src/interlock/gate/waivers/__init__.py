"""What a person takes upon themself where no evidence can settle a question: until when, and why.

waiver     what one says, and to which content it is bound
settling   what speaks against one, and which questions those that count settle
"""
