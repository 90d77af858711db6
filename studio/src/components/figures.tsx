import type { JSX } from "preact";

export interface Figure {
  readonly term: string;
  /** Undefined if there is no value; `detail` then states why. */
  readonly value: string | undefined;
  readonly detail: string;
  readonly isEstimate?: boolean;
}

/** Returns the value as text; undefined values are "–". */
export const figureValue = ({ value, isEstimate }: Figure): string =>
  value === undefined ? "–" : isEstimate === true ? `≈ ${value}` : value;

/** A row of figures, each with its name and a detail. */
export function Figures({ figures }: { figures: readonly Figure[] }): JSX.Element {
  return (
    <dl class="figures">
      {figures.map((figure) => (
        <div key={figure.term}>
          <dt>{figure.term}</dt>
          <dd class={figure.isEstimate === true ? "estimate" : undefined}>
            {figureValue(figure)}
            <small>{figure.detail}</small>
          </dd>
        </div>
      ))}
    </dl>
  );
}
