/**
 * Measures the promises of Pith on a network trained with the library, and on published networks through the command line.
 *
 *     npm run bench -- mission [digits] [foreign] [--models resnet20,mnist_cntk]
 *
 * Every metric value has its sample count, 95 % interval and seed. "foreign" requires the shared folder of models and data.
 */
import { parseArgs } from "node:util";
import { digits } from "./mission/digits.ts";
import { foreign } from "./mission/foreign.ts";

const { values, positionals } = parseArgs({ allowPositionals: true, options: { models: { type: "string" } } });
const partNames = ["digits", "foreign"];
const strange = positionals.find((part) => !partNames.includes(part));
if (strange !== undefined) {
  process.stdout.write(`There is no part "${strange}", only ${partNames.join(" and ")}.\n`);
  process.exitCode = 2;
} else {
  const asked = (part: string): boolean => positionals.length === 0 || positionals.includes(part);
  if (asked("digits")) await digits();
  if (asked("foreign")) await foreign(values.models?.split(","));
}
