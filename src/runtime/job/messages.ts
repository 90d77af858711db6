import type { Fault } from "../../core/platform/serialized-error.ts";
import type { JobEvent } from "./job.ts";

export type ToChild =
  | {
      readonly pith: "start";
      readonly module: string;
      readonly input: unknown;
      readonly temporary: string;
      /** The only user modules that the process may import; undefined: any. */
      readonly modules: readonly string[] | undefined;
    }
  | { readonly pith: "stop" };

export type ToParent =
  | { readonly pith: "begun" }
  | { readonly pith: "event"; readonly event: JobEvent }
  | { readonly pith: "result"; readonly output: unknown }
  | { readonly pith: "fault"; readonly fault: Fault };

/** Loaders and libraries use the channel, too: ignores their messages. */
export function isOurs<M extends ToChild | ToParent>(message: unknown): message is M {
  return typeof message === "object" && message !== null && "pith" in message;
}
