/** Runs a command of Pith in processes of its own and measures it. */
import { line } from "../lib/print.ts";
import { measureProcesses } from "../lib/process-usage.ts";

export interface Experiment {
  /** Folder of the network. */
  readonly source: string;
  /** Folder of the results. */
  readonly folder: string;
  readonly python: string | undefined;
}

export interface Used {
  readonly code: number;
  /** Seconds of processor time. */
  readonly processor: number;
  /** Peak memory in bytes, without mapped files. */
  readonly peak: number;
}

/** Runs a command from its source, and prints it with its time and memory. Prints the end of its messages if it fails. */
export async function command(...words: readonly string[]): Promise<Used> {
  const program = ["--import", "tsx", "--conditions=pith-source", "src/app/cli/main.ts"];
  const { code, processor, own, error } = await measureProcesses(process.execPath, [...program, ...words]);
  const cost = `${processor.toFixed(0)} s of the processor, ${(own / 1e6).toFixed(0)} MB`;
  line(`  pith ${words.join(" ")}: ${cost}${code === 0 ? "" : `, exit code ${code}`}`);
  if (code !== 0) for (const text of error.trim().split("\n").slice(-4, -1)) line(`    ${text}`);
  return { code, processor, peak: own };
}
