"""The gateway's parts with bugs in them; what each bug does is written in `node.sandbox.bugs.BUGS`."""
