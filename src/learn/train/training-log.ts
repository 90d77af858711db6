/** The log of all steps of a training: a CSV file, or an event file of TensorBoard. */
import { appendFile, fileKind, fileNameOf, readFile, readText, writeFileAtomically } from "#platform";
import { PithError } from "../../core/errors.ts";
import { bytesOfText } from "../../core/tensor/dense.ts";
import { recordsUntil, scalarRecord, versionRecord } from "./event-file.ts";

/** An optimizer step, or the evaluation before the first one. */
export interface LoggedStep {
  readonly step: number;
  readonly epoch: number;
  readonly loss?: number;
  readonly learningRate?: number;
}

export interface TrainingLog {
  step(logged: LoggedStep): Promise<void>;
  /** Logs an evaluation of the weights after `step`, which was logged last. */
  evaluated(logged: Pick<LoggedStep, "step" | "epoch">, value: number): Promise<void>;
  flush(): Promise<void>;
}

const otherFile = { hint: "Name another file (`log`)." };

/** TensorBoard reads files with this in their names. */
const isEventFile = (path: string): boolean => fileNameOf(path).includes("tfevents");

/**
 * Opens a log. A continued training keeps the entries of its earlier steps; later ones are of steps that run again.
 * @param metric Name of the evaluated metric ("accuracy"); undefined without evaluations.
 * @param after The steps that the continued training has done.
 * @throws PithError E_FILE if the file cannot be written, or is the log of another training.
 */
export function openLog(path: string, metric: string | undefined, after: number | undefined): Promise<TrainingLog> {
  const column = metric === undefined ? undefined : `validation_${metric.replace(/\W+/g, "_")}`;
  return isEventFile(path) ? EventLog.open(path, column, after) : CsvLog.open(path, column, after);
}

/** @throws PithError E_FILE if the file contains something other than a log, which would be lost. */
export async function requireLog(path: string): Promise<void> {
  if ((await fileKind(path)) === undefined) return;
  const isLog = isEventFile(path)
    ? recordsUntil(await readFile(path), Number.POSITIVE_INFINITY) !== undefined
    : (await readText(path)).startsWith(columns);
  if (!isLog) throw new PithError("E_FILE", `"${path}" is not a training log and would be overwritten.`, otherFile);
}

const columns = "step,epoch,loss,learning_rate";

/** Delays each row until the next step or save, because an evaluation of its weights belongs to it. */
class CsvLog implements TrainingLog {
  readonly #path: string;
  readonly #width: number;
  #row: string[] | undefined;

  private constructor(path: string, width: number, row: string[] | undefined) {
    this.#path = path;
    this.#width = width;
    this.#row = row;
  }

  static async open(path: string, column: string | undefined, after: number | undefined): Promise<CsvLog> {
    const header = column === undefined ? columns : `${columns},${column}`;
    const text = (await fileKind(path)) === undefined || after === undefined ? "" : await readText(path);
    const [first, ...lines] = text.split("\n").filter((line) => line !== "");
    if (first !== undefined && first !== header)
      throw new PithError("E_FILE", `"${path}" is the log of another training: its columns are ${first}.`, otherFile);
    const width = header.split(",").length;
    // A killed process can leave a row with fewer cells.
    const rows = lines
      .map((line) => line.split(","))
      .filter((row) => row.length === width && Number(row[0]) <= (after ?? 0));
    const last = Number(rows.at(-1)?.[0]) === after ? rows.pop() : undefined;
    const kept = [header, ...rows.map((row) => row.join(","))].map((line) => `${line}\n`).join("");
    await writeFileAtomically(path, [bytesOfText(kept)]);
    return new CsvLog(path, width, last);
  }

  async step({ step, epoch, loss, learningRate }: LoggedStep): Promise<void> {
    await this.flush();
    const cells = [step, epoch, loss, learningRate].map((cell) => (cell === undefined ? "" : String(cell)));
    this.#row = Array.from({ length: this.#width }, (_, index) => cells[index] ?? "");
  }

  async evaluated({ step, epoch }: Pick<LoggedStep, "step" | "epoch">, value: number): Promise<void> {
    if (this.#row === undefined) await this.step({ step, epoch });
    if (this.#row !== undefined) this.#row[this.#width - 1] = String(value);
  }

  async flush(): Promise<void> {
    if (this.#row !== undefined) await appendFile(this.#path, `${this.#row.join(",")}\n`);
    this.#row = undefined;
  }
}

class EventLog implements TrainingLog {
  readonly #path: string;
  readonly #tag: string | undefined;

  private constructor(path: string, tag: string | undefined) {
    this.#path = path;
    this.#tag = tag;
  }

  static async open(path: string, tag: string | undefined, after: number | undefined): Promise<EventLog> {
    const isContinued = after !== undefined && (await fileKind(path)) !== undefined;
    const kept = isContinued ? recordsUntil(await readFile(path), after) : undefined;
    await writeFileAtomically(path, [kept ?? versionRecord(secondsNow())]);
    return new EventLog(path, tag);
  }

  step({ step, epoch, loss, learningRate }: LoggedStep): Promise<void> {
    const scalars = Object.entries({ epoch, loss, learning_rate: learningRate });
    return this.#append(
      step,
      scalars.flatMap(([tag, value]) => (value === undefined ? [] : [[tag, value] as const])),
    );
  }

  async evaluated({ step }: Pick<LoggedStep, "step">, value: number): Promise<void> {
    if (this.#tag !== undefined) await this.#append(step, [[this.#tag, value]]);
  }

  async flush(): Promise<void> {}

  #append(step: number, scalars: readonly (readonly [string, number])[]): Promise<void> {
    return appendFile(this.#path, scalarRecord({ wallTime: secondsNow(), step, scalars: Object.fromEntries(scalars) }));
  }
}

const secondsNow = (): number => Date.now() / 1000;
