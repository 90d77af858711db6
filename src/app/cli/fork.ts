/** Runs a command in a separate process: words, options and the recorded result cross as plain data. */
import type { JobOptions, ProcessRun, Session } from "./command.ts";
import type commandJob from "./jobs/command.ts";
import { replay } from "./print/recording.ts";

/** @param name of the module. @param title name of the process in messages (default: the command and its first word). */
export async function fork<P extends ProcessRun<never> = ProcessRun<unknown>>(
  name: string,
  words: readonly string[],
  options: Parameters<P>[1],
  { runJob, seed, commandLine, passOptions, namedFolders, flags }: Session,
  { title = `${name} ${words[0]}`, ...settings }: JobOptions & { readonly title?: string } = {},
): Promise<Awaited<ReturnType<P>>> {
  const request = { name, words, options, seed, commandLine, passOptions, namedFolders, flags };
  return replay(await runJob<typeof commandJob>("command", request, title, settings)) as Awaited<ReturnType<P>>;
}
