// One command to an editor by the npm client unreal-remote-execution: PORT PROJECT EXPRESSION on the command line.
import net from "node:net";
import { EExecMode, RemoteExecution, RemoteExecutionConfig } from "unreal-remote-execution";

const [port, project, expression] = process.argv.slice(2);
const probe = net.createServer().listen(0, "127.0.0.1");
await new Promise((done) => probe.once("listening", done));
const commandPort = probe.address().port;
await new Promise((done) => probe.close(done));

const remote = new RemoteExecution(
  new RemoteExecutionConfig(0, ["239.0.0.1", Number(port)], "0.0.0.0", ["127.0.0.1", commandPort]),
);
await remote.start();
// The client pings through the system's default interface; tests stay on the loopback one.
const udp = remote.broadcastConnection.broadcastSocket;
udp.setMulticastInterface("127.0.0.1");
udp.addMembership("239.0.0.1", "127.0.0.1");
const node = await remote.getFirstRemoteNode(300, 8000);
if (node.data.project_name !== project) throw new Error(`found ${node.data.project_name}`);
await remote.openCommandConnection(node, true, 8000);
const answer = await remote.runCommand(expression, true, EExecMode.EVALUATE_STATEMENT);
await new Promise((done) => process.stdout.write(JSON.stringify(answer), done));
remote.stop();
process.exit(0);
