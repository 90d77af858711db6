/**
 * Checks that opening and saving preserves a model, and that saving a large file costs about as much as copying it.
 *
 *     npm run bench -- files [messages|outputs|large …] [--rounds 5] [--size 1024] [--outside 4096]
 *
 * messages: opens and saves every model of ONNX's backend tests and of the shared folder. Two other protobuf implementations compare the files.
 * outputs: runs both files in ONNX Runtime, on the test's inputs or random ones. The outputs must be bit-identical.
 * large: inspects, changes and saves a generated model of --size MiB, and one of --outside MiB with external data. The baselines are copying the
 * file, protobufjs and @bufbuild/protobuf. Requires `npm run build`, and twice the model's size in the temporary folder.
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
const isSelected = (part: string): boolean => positionals.length === 0 || positionals.includes(part);

heading("Files", 1);
let met = true;
if (isSelected("messages")) met = (await compareMessages()) && met;
if (isSelected("outputs")) met = (await compareOutputs()) && met;
if (isSelected("large")) {
  const sizes = { whole: Number(values.size), outside: Number(values.outside) };
  met = (await measureLarge(sizes, Number(values.rounds))) && met;
}
line(met ? "\nEvery target was met." : "\nA target was MISSED.");
process.exitCode = met ? 0 : 1;
