"""One command to an editor by upyrc, an independent client: ``upyrc_client.py PORT PROJECT EXPRESSION``."""

import json
import socket
import sys

from upyrc import upyre

port, project, expression = int(sys.argv[1]), sys.argv[2], sys.argv[3]
config = upyre.RemoteExecutionConfig(
    buffer_size=8 * 1024 * 1024,
    multicast_group=("239.0.0.1", port),
    multicast_bind_address="0.0.0.0",
    project_name=project,
)
connection = upyre.PythonRemoteConnection(config)
# The client pings through the system's default interface; tests stay on the loopback one.
loopback = socket.inet_aton("127.0.0.1")
connection.mcastsock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, loopback)
connection.mcastsock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, socket.inet_aton("239.0.0.1") + loopback)
with connection as session:
    answer = session.execute_python_command(expression, exec_type=upyre.ExecTypes.EVALUATE_STATEMENT, timeout=20.0)
    sys.stdout.write(json.dumps({"success": answer.success, "length": len(answer.result)}) + "\n")
