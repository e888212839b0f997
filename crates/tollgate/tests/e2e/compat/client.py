"""Calls a client that others wrote: client.py yourls URL SIGNATURE | client.py bitly URL KEY

For each line of the input, a JSON array of a method and its arguments by name, it prints a line: what
the method answered as JSON, or {"raised": the class of the exception, "message": …}.
"""

import json
import sys


def client(protocol, url, secret):
    if protocol == "yourls":
        from yourls import YOURLSClient

        return YOURLSClient(url, signature=secret)
    import pyshorteners

    return pyshorteners.Shortener(api_key=secret, api_url=url, timeout=60).bitly


def plain(value):
    """The attributes of the clients' own objects; anything else as text."""
    slots = getattr(value, "__slots__", None)
    return {name: getattr(value, name) for name in slots} if slots else str(value)


def main():
    called = client(*sys.argv[1:])
    for line in sys.stdin:
        method, arguments = json.loads(line)
        try:
            answer = getattr(called, method)(**arguments)
        except Exception as error:
            answer = {"raised": type(error).__name__, "message": str(error)}
        print(json.dumps(answer, default=plain), flush=True)


main()
