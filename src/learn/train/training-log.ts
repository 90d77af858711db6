/** The log of all steps of a training: a CSV file. */
import { bytesOfText, fileError } from "#ir";
import { appendFile, fileKind, readText, writeFileAtomically } from "#platform";

/** An optimizer step, or the evaluation before the first one. */
interface LoggedStep {
  readonly step: number;
  readonly epoch: number;
  readonly loss?: number;
  readonly learningRate?: number;
}

export interface TrainingLog {
  step(loggedStep: LoggedStep): Promise<void>;
  /** Logs an evaluation of the weights after `step`: in the last row, or in a new one if that is already written. */
  evaluated(loggedStep: Pick<LoggedStep, "step" | "epoch">, value: number): Promise<void>;
  flush(): Promise<void>;
}

const otherFile = { hint: "Name another file (`log`)." };

/** @throws PithError E_FILE if the file contains something other than a log, which would be lost. */
export async function requireLog(path: string): Promise<void> {
  if ((await fileKind(path)) === undefined) return;
  if (!(await readText(path)).startsWith(columns))
    throw fileError(`"${path}" is not a training log and would be overwritten.`, otherFile);
}

const columns = "step,epoch,loss,learning_rate";

/**
 * Opens a log. Each row is written at the next step or save, because it includes an evaluation after its step. A resumed training keeps the entries of its earlier steps and drops later ones, whose steps run again.
 * @param metric Name of the evaluated metric ("accuracy"); undefined without evaluations.
 * @param resumedAfter Number of steps that the resumed training has completed.
 * @throws PithError E_FILE if the file cannot be written, or is the log of another training.
 */
export async function openLog(
  path: string,
  metric: string | undefined,
  resumedAfter: number | undefined,
): Promise<TrainingLog> {
  const column = metric === undefined ? undefined : `validation_${metric.replace(/\W+/g, "_")}`;
  const header = column === undefined ? columns : `${columns},${column}`;
  const text = (await fileKind(path)) === undefined || resumedAfter === undefined ? "" : await readText(path);
  const [first, ...lines] = text.split("\n").filter((line) => line !== "");
  if (first !== undefined && first !== header)
    throw fileError(`"${path}" is the log of another training: its columns are ${first}.`, otherFile);
  const width = header.split(",").length;
  // A killed process can leave a row with fewer cells.
  const rows = lines
    .map((line) => line.split(","))
    .filter((row) => row.length === width && Number(row[0]) <= (resumedAfter ?? 0));
  let pendingRow = Number(rows.at(-1)?.[0]) === resumedAfter ? rows.pop() : undefined;
  const earlierText = [header, ...rows.map((row) => row.join(","))].map((line) => `${line}\n`).join("");
  await writeFileAtomically(path, [bytesOfText(earlierText)]);
  const log: TrainingLog = {
    async step({ step, epoch, loss = "", learningRate = "" }) {
      await log.flush();
      pendingRow = Array.from({ length: width }, (_, index) => String([step, epoch, loss, learningRate][index] ?? ""));
    },
    async evaluated(loggedStep, value) {
      if (pendingRow === undefined) await log.step(loggedStep);
      pendingRow?.splice(width - 1, 1, String(value));
    },
    async flush() {
      if (pendingRow !== undefined) await appendFile(path, `${pendingRow.join(",")}\n`);
      pendingRow = undefined;
    },
  };
  return log;
}
