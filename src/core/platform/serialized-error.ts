/** Converts exceptions to plain data and back, to pass them between processes and threads. */
import { type ErrorCode, errorCodes, errorMessage, PithError } from "../errors.ts";

/** An exception as plain data. `code` is defined for a `PithError`. */
export interface Fault {
  readonly name: string;
  readonly message: string;
  readonly stack: string | undefined;
  readonly code: ErrorCode | undefined;
  readonly advice: readonly string[];
  /** The place that a `PithError` names at the start of its message. */
  readonly at?: string | undefined;
}

export const thrownValue = "ThrownValue";

export function toFault(error: unknown): Fault {
  if (!(error instanceof Error))
    return { name: thrownValue, message: errorMessage(error), stack: undefined, code: undefined, advice: [] };
  const { name, message, stack } = error;
  if (error instanceof PithError) {
    const { code, advice, at, sentence } = error;
    return { name, message: sentence, stack, code, advice, at };
  }
  return { name, message, stack, code: undefined, advice: [] };
}

export function fromFault(fault: Fault): Error {
  const code = errorCodes.find((candidate) => candidate === fault.code);
  const error =
    code === undefined
      ? Object.assign(new Error(fault.message), { name: fault.name })
      : new PithError(code, fault.message, { hint: fault.advice, at: fault.at });
  if (fault.stack !== undefined) error.stack = fault.stack;
  return error;
}
