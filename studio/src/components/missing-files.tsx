/** Asks again for the files of a stored session, when something must run. */
import type { JSX } from "preact";
import { placeOf } from "../chosen-files.ts";
import { closeSamples, openSamples, reopenModel } from "../state/opening.ts";
import { job, missingFiles, model, modelSource, samplesRequest, type ViewName } from "../state/signals.ts";
import { DropZone } from "./drop-zone.tsx";

export function MissingFiles({ place }: { place: ViewName }): JSX.Element | null {
  if (job.value?.place === place) return null;
  switch (missingFiles.value) {
    case undefined:
      return null;
    case "model":
      return <MissingModel place={place} />;
    case "samples": {
      const { data = "", preprocess } = samplesRequest.value ?? {};
      return (
        <DropZone
          title={`Choose ${data || "the samples"} again`}
          onFiles={(files) => openSamples(files, placeOf(files), preprocess, place)}
        >
          <p class="note">
            The page does not store samples. The candidates that you made stay. With other samples, new ones are tested
            on those.
          </p>
          <button type="button" onClick={closeSamples}>
            Go on without samples
          </button>
        </DropZone>
      );
    }
  }
}

function MissingModel({ place }: { place: ViewName }): JSX.Element {
  const address = modelSource.value?.place ?? "";
  if (URL.canParse(address))
    return (
      <div class="runbox">
        <p>The page does not store the original model. Choose it, and then the samples, to make more candidates.</p>
        <button type="button" class="primary" onClick={() => reopenModel([], place)}>
          Open {address} again
        </button>
      </div>
    );
  return (
    <DropZone
      title={`Choose ${model.value?.name} again`}
      accept=".onnx,.onnx_data,.data"
      onFiles={(files) => reopenModel(files, place)}
    >
      <p class="note">
        The page does not store the original model. Choose it, and then the samples, to make more candidates.
      </p>
    </DropZone>
  );
}
