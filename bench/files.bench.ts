/**
 * Files: what is not changed comes out as it went in, and large files cost what copying them costs.
 *
 *     npm run bench -- files [messages|outputs|large …] [--rounds 5] [--size 1024] [--outside 4096]
 *
 * messages: every model of ONNX's backend tests and of the shared models is opened and saved; two other protobuf implementations compare.
 * outputs: ONNX Runtime runs both, on the given inputs or random ones; outputs must be the same bits.
 * large: a generated model of --size MiB, and one of --outside MiB with its weights beside it, are inspected, changed and saved, beside
 * copying the file and beside protobufjs and @bufbuild/protobuf. Needs `npm run build`, and twice the room under the temporary folder.
 */
import { parseArgs } from "node:util";
import { measureLarge } from "./files/measure.ts";
import { compareMessages } from "./files/messages.ts";
import { compareOutputs } from "./files/outputs.ts";
import { heading, line } from "./lib/print.ts";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    rounds: { type: "string", default: "5" },
    size: { type: "string", default: "1024" },
    outside: { type: "string", default: "4096" },
  },
});
const wanted = (part: string): boolean => positionals.length === 0 || positionals.includes(part);

heading("Files", 1);
let met = true;
if (wanted("messages")) met = (await compareMessages()) && met;
if (wanted("outputs")) met = (await compareOutputs()) && met;
if (wanted("large")) {
  const sizes = { whole: Number(values.size), outside: Number(values.outside) };
  met = (await measureLarge(sizes, Number(values.rounds))) && met;
}
line(met ? "\nEvery target was met." : "\nA target was MISSED.");
process.exitCode = met ? 0 : 1;
