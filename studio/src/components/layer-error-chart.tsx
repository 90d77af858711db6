import type { LayerErrors } from "pith/evaluate";
import type { JSX } from "preact";
import { useEffect } from "preact/hooks";
import type { Candidate } from "../backend/backend.ts";
import { measureLayers } from "../state/making.ts";
import { layerErrors, missingFiles } from "../state/signals.ts";
import { Drawing, DrawingText } from "./drawings.tsx";
import { MissingFiles } from "./missing-files.tsx";

/** The error of each layer of a candidate. Measures it when it is shown for the first time. */
export function LayerErrorChart({ candidate }: { candidate: Candidate }): JSX.Element {
  const { [candidate.id]: measured } = layerErrors.value;
  const isMissing = missingFiles.value !== undefined;
  useEffect(() => {
    if (measured === undefined && !isMissing) measureLayers(candidate);
  }, [candidate.id, isMissing]);
  if (measured === undefined && isMissing) return <MissingFiles place="compare" />;
  if (measured === undefined) return <p class="note">The layers are being compared …</p>;
  if (typeof measured === "string") return <p>Not measured: {measured}</p>;
  return <Chart errors={measured} />;
}

function Chart({ errors }: { errors: LayerErrors }): JSX.Element {
  const { layers, blamed } = errors;
  if (layers.length === 0) return <p>No layer can be compared with the original.</p>;
  if (blamed === undefined) return <p>No layer’s output differs.</p>;
  return (
    <figure>
      <Drawing draw={({ drawLayerErrors }, width) => drawLayerErrors(errors, width)} />
      <figcaption>
        <DrawingText text={({ blameText }) => `${blameText(blamed)}.`} /> Signal to noise in dB; 20 dB less is ten times
        the error. Each bar is one operator of the graph that computes, also those without weights. Bars: the operator
        alone, with the original’s inputs. Line: with the errors of all operators before it. Red: the operator whose
        change alone changes the outputs of the model most.
      </figcaption>
      <details>
        <summary>All bars as a table</summary>
        <Drawing draw={({ drawLayerTable }) => drawLayerTable(errors)} />
      </details>
    </figure>
  );
}
