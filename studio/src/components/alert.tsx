import type { ComponentChildren, JSX } from "preact";
import { problem, type ViewName } from "../state/signals.ts";

/** A message in the place where something happened: what is wrong, and the way on. */
export function Alert({ mood = "bad", children }: { mood?: "bad" | "warn"; children: ComponentChildren }): JSX.Element {
  return (
    <div class={`alert ${mood}`} role={mood === "bad" ? "alert" : undefined}>
      {children}
    </div>
  );
}

/** The last failure, if it happened in this view. */
export function ProblemAlert({ place }: { place: ViewName }): JSX.Element | null {
  const { value } = problem;
  if (value === undefined || value.place !== place) return null;
  return (
    <Alert>
      <p>
        <b>{value.message}</b>
      </p>
      {value.hint === undefined ? null : <p>{value.hint}</p>}
      <p class="note">{value.code}</p>
    </Alert>
  );
}
