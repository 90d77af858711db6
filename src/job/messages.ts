/** What the two processes of a job say to each other, and how failures cross. */
import { type ErrorCode, errorCodes, PithError } from "../errors.ts";
import type { JobEvent } from "./job.ts";

/** An exception as data. `code` is there for a `PithError`; anything else is a fault in the code. */
export interface Fault {
  readonly name: string;
  readonly message: string;
  readonly stack: string | undefined;
  readonly code: ErrorCode | undefined;
  readonly hint: string | undefined;
}

export type ToChild =
  | { readonly pith: "start"; readonly module: string; readonly input: unknown; readonly temporary: string }
  | { readonly pith: "stop" };

export type ToParent =
  | { readonly pith: "event"; readonly event: JobEvent }
  | { readonly pith: "result"; readonly output: unknown }
  | { readonly pith: "fault"; readonly fault: Fault };

/** Loaders and libraries use the channel too: what is not ours is passed over. */
export function isOurs<M extends ToChild | ToParent>(message: unknown): message is M {
  return typeof message === "object" && message !== null && "pith" in message;
}

export function toFault(error: unknown): Fault {
  if (!(error instanceof Error)) {
    return { name: "Error", message: String(error), stack: undefined, code: undefined, hint: undefined };
  }
  const { name, message, stack } = error;
  if (error instanceof PithError) return { name, message, stack, code: error.code, hint: error.hint };
  // `signal.throwIfAborted()` throws this: the job stopped because it was told to.
  if (name === "AbortError") return { name, message: "Stopped on request.", stack, code: "E_STOPPED", hint: undefined };
  return { name, message, stack, code: undefined, hint: undefined };
}

export function fromFault(fault: Fault): Error {
  const code = errorCodes.find((known) => known === fault.code);
  const error =
    code === undefined
      ? Object.assign(new Error(fault.message), { name: fault.name })
      : new PithError(code, fault.message, fault.hint === undefined ? {} : { hint: fault.hint });
  if (fault.stack !== undefined) error.stack = fault.stack;
  return error;
}
