/** Tries networks in a process of its own and prints their indices, then the result: `survey.ts <start> <networks> <seed>`. */
import { survey } from "./adversarial.ts";

const [start = 0, networks = 0, seed = 1] = process.argv.slice(2).map(Number);
const { ran, counts, faults } = await survey(networks, seed, start, (index) => process.stdout.write(`${index}\n`));
process.stdout.write(`${JSON.stringify({ ran, counts: [...counts], faults })}\n`);
