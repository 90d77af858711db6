/** Messages between the page and the worker that runs Pith. */
import type { Calls, Progress } from "./backend.ts";

export type Request =
  | { readonly id: number; readonly name: keyof Calls; readonly parameters: readonly unknown[] }
  | { readonly id: number; readonly stop: true };

export type Reply =
  /** The worker holds the lock that has its name, until it ends. */
  | { readonly holdsLock: true }
  | { readonly id: number; readonly progress: Progress }
  | { readonly id: number; readonly value: unknown }
  | {
      readonly id: number;
      readonly failure: { readonly message: string; readonly code: string; readonly hint: string | undefined };
    };
