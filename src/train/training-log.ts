/** A table of all steps of a training, as CSV in a file. */
import { appendText, fileKind, readText, writeFileAtomically } from "#platform";
import { PithError } from "../errors.ts";
import { bytesOfText } from "../tensor/dense.ts";

/** A row of the CSV file: an optimizer step, or the evaluation before the first one. */
export interface LoggedStep {
  readonly step: number;
  readonly epoch: number;
  /** Mean over the batches of the step. */
  readonly loss?: number;
  readonly learningRate?: number;
}

const columns = "step,epoch,loss,learning_rate";

/**
 * A table of all steps as CSV, written as the training goes: the row of a step when the next one is done, or the training is kept, because an
 * evaluation of the step's weights belongs to it.
 */
export class TrainingLog {
  readonly #path: string;
  readonly #width: number;
  #row: string[] | undefined;

  private constructor(path: string, width: number, row: string[] | undefined) {
    this.#path = path;
    this.#width = width;
    this.#row = row;
  }

  /**
   * Begins the table, or, of a training that is continued after so many steps, goes on behind their rows: later ones are of steps that are done again.
   * @param figure what evaluations give: "accuracy"; undefined where there are none.
   * @throws PithError E_FILE where it cannot be written, or the file is none of this training.
   */
  static async open(path: string, figure: string | undefined, after: number | undefined): Promise<TrainingLog> {
    const header = headerOf(figure);
    const text = (await fileKind(path)) === undefined || after === undefined ? "" : await readText(path);
    const [first, ...lines] = text.split("\n").filter((line) => line !== "");
    if (first !== undefined && first !== header)
      throw new PithError("E_FILE", `"${path}" is the log of another training: its columns are ${first}.`, {
        hint: "Name another file (`log`).",
      });
    const width = header.split(",").length;
    const rows = lines.map((line) => line.split(",")).filter((row) => isDone(row, width, after ?? 0));
    const last = Number(rows.at(-1)?.[0]) === after ? rows.pop() : undefined;
    const kept = [header, ...rows.map((row) => row.join(","))].map((line) => `${line}\n`).join("");
    await writeFileAtomically(path, [bytesOfText(kept)]);
    return new TrainingLog(path, width, last);
  }

  async step({ step, epoch, loss, learningRate }: LoggedStep): Promise<void> {
    await this.flush();
    const cells = [step, epoch, loss, learningRate].map((cell) => (cell === undefined ? "" : String(cell)));
    this.#row = Array.from({ length: this.#width }, (_, at) => cells[at] ?? "");
  }

  /** Of the weights after `step`, whose row is the last. */
  async evaluated({ step, epoch }: Pick<LoggedStep, "step" | "epoch">, figure: number): Promise<void> {
    if (this.#row === undefined) await this.step({ step, epoch });
    if (this.#row !== undefined) this.#row[this.#width - 1] = String(figure);
  }

  /** Nothing more belongs to the last row. */
  async flush(): Promise<void> {
    if (this.#row !== undefined) await appendText(this.#path, `${this.#row.join(",")}\n`);
    this.#row = undefined;
  }
}

function headerOf(figure: string | undefined): string {
  return figure === undefined ? columns : `${columns},validation_${figure.replace(/\W+/g, "_")}`;
}

/** A row that a process was killed in has fewer cells. */
function isDone(row: readonly string[], width: number, after: number): boolean {
  return row.length === width && Number(row[0]) <= after;
}

/** @throws PithError E_FILE where the file holds something else than a log, which would be lost. */
export async function requireLog(path: string): Promise<void> {
  if ((await fileKind(path)) === undefined || (await readText(path)).startsWith(columns)) return;
  throw new PithError("E_FILE", `"${path}" is no log of a training, and would be overwritten.`, {
    hint: "Name another file (`log`).",
  });
}
