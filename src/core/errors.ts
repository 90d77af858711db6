/** A `PithError` is thrown for invalid input, a `Miss` is returned with its reason. Other exceptions are bugs in Pith. */

/** All codes of a `PithError`. Codes are stable, because scripts match on them. */
export const errorCodes = [
  "E_USAGE", // the command line cannot be parsed: an unknown command or flag, or a flag without another flag that it requires
  "E_OPTION", // the value of an option or flag is invalid, or a required option is missing
  "E_FILE", // a file cannot be read or written
  "E_NOT_ONNX", // the bytes are not an ONNX model
  "E_MODEL", // the model contradicts itself or the ONNX specification
  "E_UNSUPPORTED", // valid ONNX that this operation does not support
  "E_SHAPE_MISMATCH", // dimensions do not fit each other
  "E_TYPE_MISMATCH", // element types do not fit each other
  "E_NAME", // no value, layer or operator has this name, or several have it
  "E_SOURCE_CHANGED", // a file has changed since it was opened, or is not the expected one: restore it, or open it again
  "E_DATA", // the data set cannot be read or does not fit the model
  "E_ENGINE", // ONNX Runtime rejected the model, or failed
  "E_ENGINE_MISSING", // an ONNX Runtime, or the browser that a target needs, is not installed
  "E_NOT_DIFFERENTIABLE", // a required gradient does not exist
  "E_DIVERGED", // a loss or weight became NaN or infinite in training
  "E_ACCURACY_LOST", // the accuracy drop is too large, or the result computes another function; no model was written
  "E_STOPPED", // stopped on request
] as const;

export type ErrorCode = (typeof errorCodes)[number];

/** An error that the user can act on. It has a stable code, a sentence with place, expected and actual value, and a hint. */
export class PithError extends Error {
  override readonly name = "PithError";
  readonly code: ErrorCode;
  readonly hint: string | undefined;
  /** The sentences of the hint. They are separate because some concern only the library or only the command line. */
  readonly advice: readonly string[];
  /** The file, tensor or option that the message names first, if it was passed as `at`. */
  readonly at: string | undefined;
  /** The message without `at`. */
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

  /** Returns an error with the same code, with a place before the message or with another hint. */
  reworded(changes: { readonly at?: string; readonly hint?: string | readonly string[] }): PithError {
    return new PithError(this.code, this.message, { hint: this.advice, ...changes, cause: this });
  }
}

const errorsOf =
  (code: ErrorCode) =>
  (sentence: string, details?: ConstructorParameters<typeof PithError>[2]): PithError =>
    new PithError(code, sentence, details);

export const dataError = errorsOf("E_DATA");
export const fileError = errorsOf("E_FILE");
export const modelError = errorsOf("E_MODEL");
export const optionError = errorsOf("E_OPTION");
export const shapeError = errorsOf("E_SHAPE_MISMATCH");
export const unsupportedError = errorsOf("E_UNSUPPORTED");
export const usageError = errorsOf("E_USAGE");

/** Throws E_STOPPED with this sentence if a stop was requested. */
export function throwIfAborted(signal: AbortSignal | undefined, sentence = "Stopped on request."): void {
  if (signal?.aborted === true) throw new PithError("E_STOPPED", sentence, { cause: signal.reason });
}

/** Returns an error after which other work can continue. Rethrows bugs, a requested stop, and system errors. */
export function asPithError(error: unknown): PithError {
  if (!(error instanceof PithError) || error.code === "E_STOPPED" || isSystemError(error)) throw error;
  return error;
}

const systemErrorCodes: readonly unknown[] = ["ENOSPC", "EDQUOT", "EROFS", "EMFILE", "EIO"];

/** Returns whether the system caused an error, such as a full disk. */
export function isSystemError(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  return ("code" in error && systemErrorCodes.includes(error.code)) || isSystemError(error.cause);
}

/** The reason why something was not done, and the node, layer or value that it concerns. A Miss is returned and never thrown. */
export class Miss {
  constructor(
    readonly reason: string,
    readonly at: string | undefined = undefined,
    /** Identifies the reason for code that must not depend on its text. */
    readonly kind: string | undefined = undefined,
    /** The node or output that prevents the change, if another one than `at`. */
    readonly by: string | undefined = undefined,
  ) {}
}

/** Formats a reason with its place, such as "they are an output of the model (logits)". */
export function formatReason({ reason, at }: Pick<Miss, "reason" | "at">): string {
  return at === undefined ? reason : `${reason} (${at})`;
}

export function errorMessage(cause: unknown): string {
  try {
    const text = String(cause instanceof Error ? cause.message : cause);
    return text === "[object Object]" ? JSON.stringify(cause).slice(0, 200) : text;
  } catch {
    return "a value that has no text";
  }
}

/** Returns the error for an exception in a user's module, method or function. */
export function failureOfCode(code: ErrorCode, codeName: string, cause: unknown): PithError {
  if (cause instanceof PithError) return cause;
  const stack = cause instanceof Error ? String(cause.stack) : "";
  const place = /^\s*at (?:.*\()?(.+:\d+:\d+)\)?$/m.exec(stack)?.[1];
  const hint = place === undefined ? undefined : `It was thrown at ${place}.`;
  return new PithError(code, `${codeName} failed: ${stripPeriod(errorMessage(cause))}.`, { hint, cause });
}

export const notFiniteHint =
  "The preprocessing may be wrong, the weights may contain NaN, or the model overflows on this data.";

/** Formats a list as "a, b, c", or as "a, b, c, …" if it has more than `max` names. */
export function truncateList(names: readonly string[], max = 8): string {
  return `${names.slice(0, max).join(", ")}${names.length > max ? ", …" : ""}`;
}

/** Formats a list as "a, b and c", or as "a, b and 17 more" if it has more than `max` names. */
export function joinList(names: readonly string[], max = 3): string {
  // Names that consist of digits are quoted, because they would read as numbers.
  const firstNames = names.slice(0, max).map((name) => (/^\d+$/.test(name) ? `"${name}"` : name));
  const shownNames = names.length > max ? [...firstNames.slice(0, -1), `${names.length - max + 1} more`] : firstNames;
  return [shownNames.slice(0, -1).join(", "), ...shownNames.slice(-1)].filter((text) => text !== "").join(" and ");
}

export function capitalize(text: string): string {
  return `${text[0]?.toUpperCase() ?? ""}${text.slice(1)}`;
}

export function uncapitalize(text: string): string {
  return text.replace(/^\p{Lu}(?=[\p{Ll} ])/u, (letter) => letter.toLowerCase());
}

export function stripPeriod(sentence: string): string {
  return sentence.replace(/\.$/, "");
}
