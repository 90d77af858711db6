/** Job of each command with a module in `processes/`: runs the command in this process. */
import { moduleOf } from "#root";
import type { JobContext } from "../../../runtime/job/job.ts";
import type { ProcessRun, ProcessSession } from "../command.ts";
import { type RecordedResult, recordResult } from "../print/recording.ts";

export interface CommandRequest extends Omit<ProcessSession, keyof JobContext> {
  readonly name: string;
  readonly words: readonly string[];
  readonly options: unknown;
}

export default async function commandJob(request: CommandRequest, context: JobContext): Promise<RecordedResult> {
  const { name, words, options, ...session } = request;
  const { default: run }: { default: ProcessRun<unknown> } = await import(moduleOf(`app/cli/processes/${name}`).href);
  return recordResult(await run(words, options, { ...context, ...session }));
}
