/**
 * Measures what Pith promises on a network of one's own, through the library, and on networks of others, through the command line.
 *
 *     npm run bench -- mission [digits] [foreign] [--models resnet20,mnist_cntk]
 *
 * Every figure has its number of samples, its 95 % interval and its seed. "foreign" needs the shared folder of models and data.
 */
import { parseArgs } from "node:util";
import { digits } from "./mission/digits.ts";
import { foreign } from "./mission/foreign.ts";

const { values, positionals } = parseArgs({ allowPositionals: true, options: { models: { type: "string" } } });
const known = ["digits", "foreign"];
const strange = positionals.find((part) => !known.includes(part));
if (strange !== undefined) {
  process.stdout.write(`There is no part "${strange}", only ${known.join(" and ")}.\n`);
  process.exitCode = 2;
} else {
  const asked = (part: string): boolean => positionals.length === 0 || positionals.includes(part);
  if (asked("digits")) await digits();
  if (asked("foreign")) await foreign(values.models?.split(","));
}
