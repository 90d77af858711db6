/** The program with a command that fails. */
import * as v from "valibot";
import { type CommandDefinition, defineCommand } from "../../../src/app/cli/command.ts";
import type { ListedCommand } from "../../../src/app/cli/commands.ts";
import { runProgram } from "../../../src/app/cli/program.ts";
import { PithError, throwIfAborted } from "../../../src/core/errors.ts";
import type behave from "./jobs/behave.ts";
import { runJob } from "./run.ts";

const job = new URL("./jobs/behave.ts", import.meta.url);

const scale = defineCommand({
  name: "scale",
  summary: "doubles numbers in a job",
  arguments: [{ name: "numbers", description: "what to double", isVariadic: true }],
  options: v.object({ goal: v.optional(v.number()), bits: v.optional(v.picklist([4, 8]), 8) }),
  examples: ["scale 1 2"],
  async run(words, { goal }, session) {
    const output = await session.runJob<typeof behave>(
      job,
      { kind: "double", values: Float32Array.from(words, Number) },
      "scale",
    );
    const { values } = output as { values: Float32Array };
    return {
      json: { values, seed: session.seed },
      print: (terminal) => terminal.line([...values].join(" ")),
      isGoalMissed: goal !== undefined && Math.max(...values) < goal,
    };
  },
});

const failing = defineCommand({
  name: "fail",
  summary: "fails as it is told",
  arguments: [{ name: "how", description: "kind of failure" }],
  options: v.object({}),
  examples: [],
  async run([how], _options, session) {
    if (how === "late") {
      const failure = new PithError("E_ACCURACY_LOST", "Nothing was written.");
      return { json: { tried: 3 }, print: (terminal) => terminal.line("tried: 3"), failure };
    }
    if (how === "abort") throwIfAborted(session.signal);
    if (how === "kill") await session.runJob<typeof behave>(job, { kind: "kill", signal: "SIGSEGV" }, "fail m.onnx");
    if (how === "wait") await session.runJob<typeof behave>(job, { kind: "wait" }, "fail");
    if (how === "pith-error") await session.runJob<typeof behave>(job, { kind: "pith-error" }, "fail");
    // Without the stack of a test, because the program blames modules outside of Pith.
    throw Object.assign(new TypeError("a fault"), { stack: "TypeError: a fault" });
  },
});

function listed<S extends v.GenericSchema>(definition: CommandDefinition<S>): ListedCommand {
  const { name, summary } = definition;
  return { name, summary, load: async () => ({ default: definition }) };
}

interface Ran {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

export async function pith(
  line: string,
  signal = new AbortController().signal,
  own: readonly ListedCommand[] = [listed(scale), listed(failing)],
  columns?: number,
): Promise<Ran> {
  const text = { out: "", err: "" };
  const stream = (name: "out" | "err") => ({
    ...(columns === undefined ? {} : { columns }),
    write: (more: string) => {
      text[name] += more;
    },
  });
  const words = line.split(" ").filter((word) => word !== "");
  const code = await runProgram(words, {
    out: stream("out"),
    err: stream("err"),
    signal,
    commands: own,
    // The jobs of "fail" end their processes; those of "scale" compute only.
    ...(words[0] === "scale" ? { runJob } : {}),
  });
  return { code, ...text };
}
