/**
 * Reads shuffled batches of a data set and prints the peak of resident memory in bytes.
 *
 * The system counts a process's own peak as VmHWM; what getrusage reports may be that of the process that started it.
 */
import { readFileSync } from "node:fs";
import { openDataset } from "../../src/data/index.ts";

const path = process.argv[2] ?? "";
if (path !== "") {
  const data = await openDataset(path);
  let batches = 0;
  for await (const _ of data.batches({ size: 256, shuffle: 1 })) if (++batches === 40) break;
}
const status = process.platform === "linux" ? readFileSync("/proc/self/status", "utf8") : "";
const peakKib = /VmHWM:\s*(\d+) kB/.exec(status)?.[1];
process.stdout.write(String((peakKib === undefined ? process.resourceUsage().maxRSS : Number(peakKib)) * 1024));
