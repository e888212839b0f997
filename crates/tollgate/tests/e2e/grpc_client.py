"""Asks a server over gRPC as its only source of knowledge: grpc_client.py HOST:PORT

The messages are put together from what the server says of its protocol (reflection), by Google's own
libraries. For each line of the input, a JSON object that becomes a RateLimitRequest, it prints a line:
the response as JSON, or {"code": …, "details": …}.
"""

import json
import sys

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory

REFLECTION = "grpc.reflection.v1alpha"
SERVICE = "envoy.service.ratelimit.v3.RateLimitService"
TIMEOUT = 60


def message_class(pool, name):
    found = pool.FindMessageTypeByName(name)
    if hasattr(message_factory, "GetMessageClass"):
        return message_factory.GetMessageClass(found)
    return message_factory.MessageFactory(pool).GetPrototype(found)


def reflection_pool():
    """The part of the reflection protocol that is needed to ask for the rest."""
    file = descriptor_pb2.FileDescriptorProto(
        name="reflection.proto", package=REFLECTION, syntax="proto3"
    )
    field = descriptor_pb2.FieldDescriptorProto

    def add(message, *fields):
        added = file.message_type.add(name=message)
        for name, number, kind, label, type_name in fields:
            added.field.add(
                name=name, number=number, type=kind, label=label, type_name=type_name
            )

    one, many = field.LABEL_OPTIONAL, field.LABEL_REPEATED
    add(
        "ServerReflectionRequest",
        ("file_by_filename", 3, field.TYPE_STRING, one, None),
        ("file_containing_symbol", 4, field.TYPE_STRING, one, None),
    )
    add("FileDescriptorResponse", ("file_descriptor_proto", 1, field.TYPE_BYTES, many, None))
    answer = f".{REFLECTION}.FileDescriptorResponse"
    add(
        "ServerReflectionResponse",
        ("file_descriptor_response", 4, field.TYPE_MESSAGE, one, answer),
    )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return pool


class Reflection:
    def __init__(self, channel):
        pool = reflection_pool()
        self.request = message_class(pool, f"{REFLECTION}.ServerReflectionRequest")
        response = message_class(pool, f"{REFLECTION}.ServerReflectionResponse")
        self.call = channel.stream_stream(
            f"/{REFLECTION}.ServerReflection/ServerReflectionInfo",
            request_serializer=self.request.SerializeToString,
            response_deserializer=response.FromString,
        )
        self.pool = descriptor_pool.DescriptorPool()
        self.known = set()

    def load(self, **asked):
        """Adds the files that are asked for to the pool, after those that they import."""
        answers = list(self.call(iter([self.request(**asked)]), timeout=TIMEOUT))
        for encoded in answers[0].file_descriptor_response.file_descriptor_proto:
            file = descriptor_pb2.FileDescriptorProto.FromString(encoded)
            if file.name in self.known:
                continue
            self.known.add(file.name)
            for imported in file.dependency:
                if imported not in self.known:
                    self.load(file_by_filename=imported)
            self.pool.Add(file)


def main():
    channel = grpc.insecure_channel(sys.argv[1])
    reflection = Reflection(channel)
    reflection.load(file_containing_symbol=SERVICE)
    package = SERVICE.rsplit(".", 1)[0]
    request = message_class(reflection.pool, f"{package}.RateLimitRequest")
    response = message_class(reflection.pool, f"{package}.RateLimitResponse")
    should_rate_limit = channel.unary_unary(
        f"/{SERVICE}/ShouldRateLimit",
        request_serializer=request.SerializeToString,
        response_deserializer=response.FromString,
    )
    for line in sys.stdin:
        asked = json_format.ParseDict(json.loads(line), request())
        try:
            answer = should_rate_limit(asked, timeout=TIMEOUT)
            told = json_format.MessageToDict(answer)
        except grpc.RpcError as error:
            told = {"code": error.code().name, "details": error.details()}
        print(json.dumps(told), flush=True)


main()
