"""
What the commands of the terminal do that are no demonstration: look, tell, and store.

Each module has one `show_…` that prints to a console and returns an exit code. What is worth knowing
elsewhere too stands on a floor below; here it is asked for and shown.
"""
