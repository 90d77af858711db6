/**
 * Prints results to standard output, and everything else to standard error, so that a pipe receives only the result.
 * Text passes through `escapeForTerminal`, so that no name in a model can control the terminal.
 */
import picocolors from "picocolors";
import { clock, count, integer, PithError } from "#ir";
import type { JobEvent } from "../../../runtime/job/job.ts";
import type { Column } from "../../report/tables.ts";
import { tableLines } from "./table.ts";
import { type Colors, escapeForTerminal, markedColors, removeMarks } from "./terminal-escapes.ts";

export interface Stream {
  write(text: string): unknown;
  readonly isTTY?: boolean;
  readonly columns?: number;
}

/** Variables that control colors. NO_COLOR overrides FORCE_COLOR. */
export type Environment = Readonly<Partial<Record<"NO_COLOR" | "FORCE_COLOR" | "TERM", string | undefined>>>;

export interface TerminalOptions {
  readonly out: Stream;
  readonly err: Stream;
  readonly json: boolean;
  readonly env: Environment;
  readonly versions: string;
  /** Rewrites command lines and option names in messages as the user must type them. */
  readonly asTyped?: (text: string) => string;
  /** Removes from a message the passwords that are on the command line. */
  readonly withoutSecrets?: (text: string) => string;
}

/** Milliseconds: between updates of a progress bar, and between progress lines of a log. */
const [redrawInterval, logInterval] = [100, 20_000];
/** Seconds after which the remaining time is shown, because earlier estimates vary a lot. */
const minSeconds = 2;
const barWidth = 24;
const defaultWidth = 80;

export class Terminal {
  readonly json: boolean;
  readonly color: Colors;
  /** Current part of a command that handles several files or models, such as "q4 (2 of 7)". */
  currentItem = "";
  readonly #options: TerminalOptions;
  readonly #errorColor: ReturnType<typeof picocolors.createColors>;
  #stage = "";
  #stageStart = 0;
  #lastDrawn = 0;
  /** First report of the stage. A training can continue from a checkpoint, so its count can exceed 0. */
  #firstReport: { readonly done: number; readonly at: number } | undefined;
  #lastDone = 0;
  #isBarVisible = false;

  constructor(options: TerminalOptions) {
    this.#options = options;
    this.json = options.json;
    this.color = markedColors(isColored(options.out, options.env));
    this.#errorColor = picocolors.createColors(isColored(options.err, options.env));
  }

  line(text = ""): void {
    this.#clear();
    this.#options.out.write(`${removeMarks(escapeForTerminal(this.#typed(text), { keepsColors: true }))}\n`);
  }

  table(columns: readonly Column[], rows: readonly (readonly string[])[], indent = ""): void {
    for (const line of tableLines(columns, rows)) this.line(indent + line);
  }

  printJson(value: unknown): void {
    this.#clear();
    this.#options.out.write(`${escapeForTerminal(JSON.stringify(value, toJsonValue, 2), { keepsLines: true })}\n`);
  }

  showEvent(event: JobEvent): void {
    switch (event.kind) {
      case "stage":
        this.#clear();
        this.#stage = event.name;
        this.#stageStart = performance.now();
        this.#lastDrawn = 0;
        this.#firstReport = undefined;
        // A stage can take seconds before its first progress.
        if (!this.json && drawsBar(this.#options.err, this.#options.env)) this.#draw(this.#label);
        break;
      case "progress":
        this.#progress(event.done, event.total, event.figures);
        break;
      case "log":
        this.note(event.id, event.text, event.level);
        break;
      case "output":
        if (!this.json) this.#error(escapeForTerminal(event.text, { keepsLines: true }));
        break;
    }
  }

  /** Prints a message. Warnings show their id, so that users can look it up. */
  note(id: string, message: string, level: "note" | "warning" = "note"): void {
    const text = this.#typed(this.#withoutSecrets(message));
    if (this.json) this.#error(escapeForTerminal(JSON.stringify({ [level]: { id, text } })));
    else this.#error(`${level === "note" ? "" : `${this.#errorColor.yellow(id)}: `}${escapeForTerminal(text)}`);
  }

  /** Writes a line per finished file to a log. A terminal shows the progress instead. */
  noteFinished(text: string): void {
    if (!this.json && !drawsBar(this.#options.err, this.#options.env))
      this.#error(escapeForTerminal(`${this.currentItem}: ${text}`));
  }

  printError(error: unknown): void {
    if (error instanceof PithError) {
      const { code } = error;
      const message = this.#typed(this.#withoutSecrets(error.message));
      const hint = error.hint === undefined ? undefined : this.#typed(this.#withoutSecrets(error.hint));
      const hintText = hint === undefined ? "" : `\nhint: ${escapeForTerminal(hint)}`;
      const text = `${this.#errorColor.red(code)}: ${escapeForTerminal(message)}${hintText}`;
      this.#error(this.json ? escapeForTerminal(JSON.stringify({ error: { code, message, hint } })) : text);
    } else {
      const thrown = error instanceof Error ? error : new Error(String(error));
      const { name } = thrown;
      const message = this.#withoutSecrets(thrown.message);
      const stack = this.#withoutSecrets(thrown.stack ?? `${name}: ${message}`);
      const about = this.#options.versions;
      const request = `This is a bug in Pith. Please report it, with the lines above and: ${about}.`;
      const trace = escapeForTerminal(stack, { keepsLines: true });
      const text = `${this.#errorColor.red("internal")}: ${trace}\n${request}`;
      const document = { error: { code: "internal", message, name, stack, about } };
      this.#error(this.json ? escapeForTerminal(JSON.stringify(document)) : text);
    }
  }

  close(): void {
    this.#clear();
  }

  #typed(text: string): string {
    return this.#options.asTyped?.(text) ?? text;
  }

  #withoutSecrets(text: string): string {
    return this.#options.withoutSecrets?.(text) ?? text;
  }

  #error(text: string): void {
    this.#clear();
    this.#options.err.write(`${text}\n`);
  }

  #progress(done: number, total: number | undefined, figures: string | undefined): void {
    const { err, env } = this.#options;
    if (this.json) return;
    const isLog = !drawsBar(err, env);
    const now = performance.now();
    if (this.#stageStart === 0) this.#stageStart = now;
    // The count of a stage can restart: first samples, then layers.
    const restarts = done < this.#lastDone;
    const first = this.#firstReport === undefined || restarts ? { done, at: now } : this.#firstReport;
    [this.#firstReport, this.#lastDone] = [first, done];
    const lastMs = isLog && this.#lastDrawn === 0 ? this.#stageStart : this.#lastDrawn;
    if (now - lastMs < (isLog ? logInterval : restarts ? 0 : redrawInterval)) return;
    this.#lastDrawn = now;
    const seconds = (now - first.at) / 1000;
    const state = { stage: this.#label, done, total, rate: seconds > 0 ? (done - first.done) / seconds : 0, seconds };
    const bar = progressLine({ ...state, hasBar: !isLog });
    const line = figures === undefined ? bar : `${bar}  ${figures}`;
    if (isLog) return void err.write(`${escapeForTerminal(line)}\n`);
    this.#draw(line);
  }

  get #label(): string {
    return [this.currentItem, this.#stage].filter((text) => text !== "").join(": ");
  }

  #draw(line: string): void {
    const { err } = this.#options;
    const visibleText = [...escapeForTerminal(line)].slice(0, widthOf(err) - 1).join("");
    err.write(`\r\u001b[2K${visibleText}`);
    this.#isBarVisible = true;
  }

  #clear(): void {
    if (this.#isBarVisible) this.#options.err.write("\r\u001b[2K");
    this.#isBarVisible = false;
  }
}

export function widthOf({ columns = 0 }: Stream): number {
  return columns > 0 ? columns : defaultWidth;
}

function isColored(stream: Stream, env: Environment): boolean {
  const { NO_COLOR: no = "", FORCE_COLOR: force = "" } = env;
  if (no !== "") return false;
  return force === "" ? drawsBar(stream, env) : force !== "0" && force !== "false";
}

function drawsBar({ isTTY = false }: Stream, { TERM }: Environment): boolean {
  return isTTY && TERM !== "dumb";
}

export interface Progress {
  readonly stage: string;
  readonly done: number;
  readonly total: number | undefined;
  readonly rate: number;
  readonly seconds: number;
  readonly hasBar: boolean;
}

/** Returns a line such as `calibrate ━━━━━━━━━━━━──────────── 250/500  45/s  0:06 left`. */
export function progressLine({ stage, done, total, rate, seconds, hasBar }: Progress): string {
  const speed =
    rate === 0
      ? ""
      : rate >= 1
        ? `  ${rate >= 10 ? count(rate) : rate.toFixed(1)}/s`
        : `  ${(1 / rate).toFixed(1)} s each`;
  const label = stage === "" ? "" : `${stage} `;
  if (total === undefined || total <= 0) return `${label}${integer(done)}${speed}`;
  const filledWidth = Math.round(barWidth * Math.min(1, done / total));
  const bar = hasBar ? `${"━".repeat(filledWidth)}${"─".repeat(barWidth - filledWidth)} ` : "";
  const remaining = rate > 0 && seconds >= minSeconds && done < total ? `  ${clock((total - done) / rate)} left` : "";
  return `${label}${bar}${integer(done)}/${integer(total)}${speed}${remaining}`;
}

/** Converts big integers, maps, sets and typed arrays to values that JSON has. */
function toJsonValue(_key: string, value: unknown): unknown {
  if (typeof value === "bigint") return Number.isSafeInteger(Number(value)) ? Number(value) : String(value);
  if (value instanceof Map) return Object.fromEntries(value);
  if (value instanceof Set) return [...value];
  if (ArrayBuffer.isView(value) && Symbol.iterator in value) return [...(value as Iterable<unknown> & ArrayBufferView)];
  return value;
}
