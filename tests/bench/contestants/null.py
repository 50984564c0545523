"""A milter that does nothing, on pymilter. usage: null.py SOCKET"""
import sys
import Milter


class Null(Milter.Base):
    def connect(self, name, family, address):
        return Milter.CONTINUE

    def hello(self, name):
        return Milter.CONTINUE

    def envfrom(self, sender, *arguments):
        return Milter.CONTINUE

    def envrcpt(self, recipient, *arguments):
        return Milter.CONTINUE

    def header(self, name, value):
        return Milter.CONTINUE

    def eoh(self):
        return Milter.CONTINUE

    def body(self, chunk):
        return Milter.CONTINUE

    def eom(self):
        return Milter.CONTINUE


Milter.factory = Null
Milter.set_flags(Milter.ADDHDRS)
Milter.runmilter("null", sys.argv[1], 60)
