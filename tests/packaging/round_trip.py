"""Run inside a throw-away environment: the contract and the client work on what is installed there.

Prints the versions and how many kinds of event made the round trip; any warning is an error
except protobuf's own about generated code of an earlier major version.
"""

import sys
import warnings

warnings.simplefilter("error")
# protobuf 6 says that code generated for protobuf 5 works "for now": that is what is tested.
warnings.filterwarnings("ignore", message="Protobuf gencode version", category=UserWarning)

import google.protobuf  # noqa: E402 - warnings are errors from the first import on
import grpc  # noqa: E402
from google.protobuf.descriptor import FieldDescriptor  # noqa: E402
from google.protobuf.message import Message  # noqa: E402

import trimtab_client  # noqa: E402, F401 - that it can be imported is the test
from trimtab.v1 import (  # noqa: E402
    admin_service_pb2,
    admin_service_pb2_grpc,
    error_pb2,
    event_pb2,
    event_service_pb2_grpc,
)

DEPTH_MAX = 6
VALUES = {
    FieldDescriptor.CPPTYPE_DOUBLE: 0.1,
    FieldDescriptor.CPPTYPE_STRING: "grün",
    FieldDescriptor.CPPTYPE_BOOL: True,
    FieldDescriptor.CPPTYPE_INT32: 7,
    FieldDescriptor.CPPTYPE_INT64: 2**53 + 1,
    FieldDescriptor.CPPTYPE_ENUM: 1,
}


def fill(message: Message, depth: int = 0) -> Message:
    """Gives every field a value that is not its default; of a oneof the last member stays."""
    for field in message.DESCRIPTOR.fields:
        if depth > DEPTH_MAX or (depth == 0 and field.containing_oneof is not None):
            continue
        inner = field.message_type
        value = getattr(message, field.name)
        if inner is not None and inner.GetOptions().map_entry:
            value["key"] = VALUES[inner.fields_by_name["value"].cpp_type]
        elif inner is not None and hasattr(value, "add"):
            fill(value.add(), depth + 1)
        elif inner is not None:
            value.SetInParent()
            fill(value, depth + 1)
        elif hasattr(value, "append"):
            value.append(VALUES[field.cpp_type])
        else:
            setattr(message, field.name, VALUES[field.cpp_type])
    return message


def main() -> None:
    """Raises when something is not as it should be."""
    kinds = event_pb2.Event.DESCRIPTOR.oneofs_by_name["payload"].fields
    for kind in kinds:
        event = event_pb2.Event()
        fill(event)
        fill(getattr(event, kind.name), 1)
        getattr(event, kind.name).SetInParent()
        body = event.SerializeToString(deterministic=True)
        parsed = event_pb2.Event.FromString(body)
        assert parsed == event
        assert parsed.WhichOneof("payload") == kind.name
        assert parsed.SerializeToString(deterministic=True) == body
        assert len(body) > 100
    assert len(error_pb2.ErrorReason.keys()) > 1
    with grpc.insecure_channel("127.0.0.1:1") as channel:
        event_service_pb2_grpc.EventServiceStub(channel)
        admin = admin_service_pb2_grpc.AdminServiceStub(channel)
        try:
            admin.GetServerInfo(admin_service_pb2.GetServerInfoRequest(), timeout=0.5)
        except grpc.RpcError as error:
            assert error.code() in {  # noqa: PT017 - no pytest in this environment
                grpc.StatusCode.UNAVAILABLE,
                grpc.StatusCode.DEADLINE_EXCEEDED,
            }
        else:
            sys.exit("nothing listens there, and yet it answered")
    print(google.protobuf.__version__, grpc.__version__, len(kinds))


main()
