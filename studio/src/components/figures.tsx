import type { JSX } from "preact";

export interface Figure {
  readonly term: string;
  /** Undefined if there is no value; `detail` then states why. */
  readonly value: string | undefined;
  readonly detail: string;
  readonly isEstimate?: boolean;
}

/** A row of figures, each with its name and a detail. */
export function Figures({ figures }: { figures: readonly Figure[] }): JSX.Element {
  return (
    <dl class="figures">
      {figures.map(({ term, value, detail, isEstimate }) => (
        <div key={term}>
          <dt>{term}</dt>
          <dd class={isEstimate === true ? "estimate" : undefined}>
            {value === undefined ? "–" : isEstimate === true ? `≈ ${value}` : value}
            <small>{detail}</small>
          </dd>
        </div>
      ))}
    </dl>
  );
}
