/** How failures cross from one process or thread to another: an exception as data, and back. */
import { type ErrorCode, errorCodes, messageOf, PithError } from "../errors.ts";

/** An exception as data. `code` is there for a `PithError`; anything else is a fault in the code. */
export interface Fault {
  readonly name: string;
  readonly message: string;
  readonly stack: string | undefined;
  readonly code: ErrorCode | undefined;
  readonly advice: readonly string[];
  /** The place that the message of a `PithError` begins with. */
  readonly at?: string | undefined;
}

/** The name of a fault that is not an exception: code of a user threw some other value. */
export const thrownValue = "ThrownValue";

export function toFault(error: unknown): Fault {
  if (!(error instanceof Error))
    return { name: thrownValue, message: messageOf(error), stack: undefined, code: undefined, advice: [] };
  const { name, message, stack } = error;
  if (error instanceof PithError) {
    const { code, advice, at, sentence } = error;
    return { name, message: sentence, stack, code, advice, at };
  }
  return { name, message, stack, code: undefined, advice: [] };
}

export function fromFault(fault: Fault): Error {
  const code = errorCodes.find((known) => known === fault.code);
  const error =
    code === undefined
      ? Object.assign(new Error(fault.message), { name: fault.name })
      : new PithError(code, fault.message, { hint: fault.advice, at: fault.at });
  if (fault.stack !== undefined) error.stack = fault.stack;
  return error;
}
