/**
 * Failures as part of the product.
 *
 * `PithError` is thrown: broken input, a broken promise, or a wrong request. `Miss` is returned: a decision that came out as "no",
 * with its reason. An exception that is neither is a fault in Pith itself.
 */

/** Every code a `PithError` can carry. Codes are stable: scripts match on them. */
export const errorCodes = [
  "E_USAGE", // the command line cannot be understood: an unknown command or flag, or one that needs another
  "E_OPTION", // the value of an option, or of a flag, does not fit, or one that a technique needs is missing
  "E_FILE", // a file cannot be read or written
  "E_NOT_ONNX", // the bytes are not an ONNX model
  "E_MODEL", // the model contradicts itself or the ONNX specification
  "E_UNSUPPORTED", // legal ONNX that Pith cannot do this with
  "E_SHAPE_MISMATCH", // dimensions do not fit each other
  "E_TYPE_MISMATCH", // element types do not fit each other
  "E_NAME", // no value, layer or operator of this name, or more than one
  "E_SOURCE_CHANGED", // the file behind a lazy tensor has changed
  "E_DATA", // the data set cannot be read or does not fit the model
  "E_ENGINE", // ONNX Runtime refused or failed
  "E_ENGINE_MISSING", // an ONNX Runtime, or the browser that a target needs, is not installed
  "E_NOT_DIFFERENTIABLE", // a wanted gradient does not exist
  "E_DIVERGED", // a loss or weight became NaN or infinite in training
  "E_ACCURACY_LOST", // the result lost more than was allowed, or does not do what the original did; nothing was written
  "E_STOPPED", // stopped on request
] as const;

export type ErrorCode = (typeof errorCodes)[number];

/** A failure that the user can act on: a stable code, one sentence with place, expected and got, and a hint. */
export class PithError extends Error {
  override readonly name = "PithError";
  readonly code: ErrorCode;
  /** What to do about it. */
  readonly hint: string | undefined;
  /** The same in parts, of which each may concern some readers only. */
  readonly advice: readonly string[];
  /** The place that the message begins with, where it was given apart: a file, a tensor, an option. */
  readonly at: string | undefined;
  /** The message without this place. */
  readonly sentence: string;

  constructor(
    code: ErrorCode,
    sentence: string,
    {
      hint = [],
      cause,
      at,
    }: {
      readonly hint?: string | readonly string[] | undefined;
      readonly cause?: unknown;
      readonly at?: string | undefined;
    } = {},
  ) {
    super(at === undefined ? sentence : `${at}: ${sentence}`, cause === undefined ? undefined : { cause });
    this.code = code;
    this.advice = typeof hint === "string" ? [hint] : hint;
    this.hint = this.advice.length === 0 ? undefined : this.advice.join(" ");
    this.at = at;
    this.sentence = sentence;
  }

  /** This failure at a place around it, or with other advice. */
  reworded(said: { readonly at?: string; readonly hint?: string | readonly string[] }): PithError {
    return new PithError(this.code, this.message, { hint: this.advice, ...said, cause: this });
  }
}

/** For loops that take long: does nothing unless a stop was requested. @throws PithError E_STOPPED with this sentence */
export function throwIfAborted(signal: AbortSignal | undefined, sentence = "Stopped on request."): void {
  if (signal?.aborted === true) throw new PithError("E_STOPPED", sentence, { cause: signal.reason });
}

/** The error, where it is a refusal of this piece of work. Rethrows everything else: bugs, a requested stop, and failures of the machine, such as a full disk. */
export function asPithError(error: unknown): PithError {
  if (!(error instanceof PithError) || error.code === "E_STOPPED" || isSystemError(error)) throw error;
  return error;
}

const fatal: readonly unknown[] = ["ENOSPC", "EDQUOT", "EROFS", "EMFILE", "EIO"];

/** Whether an error comes from the state of the machine (full disk, read-only file system), so that other work would fail, too. */
function isSystemError({ cause }: Error): boolean {
  if (!(cause instanceof Error)) return false;
  return ("code" in cause && fatal.includes(cause.code)) || isSystemError(cause);
}

/** "No" as an answer: why, and where. Returned, never thrown, and never a bare `false`. */
export class Miss {
  readonly reason: string;
  readonly at: string | undefined;
  /** What was refused, where code has to tell: it never reads the reason. */
  readonly kind: string | undefined;
  /** What stands in the way, where that is another place: a node, an output. */
  readonly by: string | undefined;

  constructor(reason: string, at?: string, kind?: string, by?: string) {
    this.reason = reason;
    this.at = at;
    this.kind = kind;
    this.by = by;
  }
}

/** "they are an output of the model (logits)" */
export function formatReason({ reason, at }: Pick<Miss, "reason" | "at">): string {
  return at === undefined ? reason : `${reason} (${at})`;
}

/** Returns the message of any thrown value. */
export function errorMessage(cause: unknown): string {
  try {
    const text = String(cause instanceof Error ? cause.message : cause);
    return text === "[object Object]" ? JSON.stringify(cause).slice(0, 200) : text;
  } catch {
    return "a value that has no text";
  }
}

/**
 * A failure of code that a user gave: a module, a method, a function.
 * @param whose what the message calls it.
 */
export function failureOfCode(code: ErrorCode, whose: string, cause: unknown): PithError {
  if (cause instanceof PithError) return cause;
  const stack = cause instanceof Error ? String(cause.stack) : "";
  const place = /^\s*at (?:.*\()?(.+:\d+:\d+)\)?$/m.exec(stack)?.[1];
  const hint = place === undefined ? undefined : `It was thrown at ${place}.`;
  return new PithError(code, `${whose} failed: ${stripPeriod(errorMessage(cause))}.`, { hint, cause });
}

/** The hint of errors about values that are NaN or infinite. */
export const notFiniteHint =
  "The preprocessing may be wrong, the weights may contain NaN, or the model overflows on this data.";

/** "a, b, c, …": as many names as a sentence holds. */
export function truncateList(names: readonly string[], most = 8): string {
  return `${names.slice(0, most).join(", ")}${names.length > most ? ", …" : ""}`;
}

/** "a, b and c"; of more than `most`, "a, b and 17 more". */
export function joinList(names: readonly string[], most = 3): string {
  // A tensor called 380 would read as a number.
  const quoted = names.slice(0, most).map((name) => (/^\d+$/.test(name) ? `"${name}"` : name));
  const shown = names.length > most ? [...quoted.slice(0, -1), `${names.length - most + 1} more`] : quoted;
  return [shown.slice(0, -1).join(", "), ...shown.slice(-1)].filter((text) => text !== "").join(" and ");
}

/** "Prune weights" of "prune weights". */
export function capitalized(text: string): string {
  return `${text[0]?.toUpperCase() ?? ""}${text.slice(1)}`;
}

export function uncapitalized(text: string): string {
  return `${text[0]?.toLowerCase() ?? ""}${text.slice(1)}`;
}

/** A sentence as a part of another one: without its full stop. */
export function stripPeriod(sentence: string): string {
  return sentence.replace(/\.$/, "");
}
