// Loaded before a program (`node --import`): its seconds and the peak of its memory go to the file that PITH_PEAK names.
import { readFileSync, writeFileSync } from "node:fs";

process.on("exit", () => {
  let kibibytes = process.resourceUsage().maxRSS;
  try {
    kibibytes = Number(/VmHWM:\s+(\d+) kB/.exec(readFileSync("/proc/self/status", "utf8"))?.[1] ?? kibibytes);
  } catch {
    // Not Linux.
  }
  writeFileSync(process.env.PITH_PEAK, JSON.stringify({ seconds: performance.now() / 1000, peak: 1024 * kibibytes }));
});
