import type { JSX, TargetedSubmitEvent } from "preact";
import { figureText } from "../../../src/core/numbers.ts";
import type { SamplesView } from "../backend/backend.ts";
import { placeOf } from "../chosen-files.ts";
import { Alert, ProblemAlert } from "../components/alert.tsx";
import { DropZone } from "../components/drop-zone.tsx";
import { MissingFiles } from "../components/missing-files.tsx";
import { ProgressBox } from "../components/progress.tsx";
import { className, NetworkInput, Probabilities, Sample } from "../components/sample.tsx";
import { Table } from "../components/table.tsx";
import { integerText, percentText, unbroken } from "../format.ts";
import { openSamples } from "../state/opening.ts";
import { claim, job, missingFiles, problem, samples, samplesRequest, triedData } from "../state/signals.ts";

/** Preprocessings of images that the user can choose. */
const presetMeanings: Readonly<Record<string, string>> = {
  unit: "pixels from 0 to 1",
  symmetric: "pixels from −1 to 1, usual in TensorFlow",
  imagenet: "mean and deviation of ImageNet, usual in PyTorch",
  cifar10: "mean and deviation of CIFAR-10",
  mnist: "mean and deviation of MNIST",
  caffe: "pixels from 0 to 255 without the mean, blue first",
  raw: "pixels from 0 to 255",
};

export function Samples(): JSX.Element {
  const { value } = samples;
  return (
    <section>
      {value === undefined ? (
        <>
          <h1>Add samples to see what a smaller model loses.</h1>
          <p class="lead">
            Photos, texts, tables or sound, with or without labels. Some of them calibrate, others test. Without
            samples, outputs are compared on random inputs, which do not show accuracy.
          </p>
        </>
      ) : (
        <Heading />
      )}
      <ProblemAlert place="samples" />
      <ProgressBox place="samples" />
      <MissingFiles place="samples" />
      {problem.value?.place === "samples" && job.value === undefined ? <PreprocessingForm /> : null}
      {value === undefined ? null : (
        <>
          {value.warnings.map((text) => (
            <Alert key={text} mood="warn">
              <p>{text}</p>
            </Alert>
          ))}
          <Preprocessing />
          <Shown />
        </>
      )}
      {missingFiles.value === "model" ? null : value === undefined ? (
        <Chooser title="Drop a folder or files of samples here" />
      ) : (
        <details>
          <summary>Replace the samples</summary>
          <Chooser title="Drop other samples here" />
        </details>
      )}
      <div class="actions">
        <a class="button primary" href="#smaller">
          Make it smaller
        </a>
      </div>
    </section>
  );
}

function Chooser({ title }: { title: string }): JSX.Element {
  return (
    <DropZone
      title={title}
      onFiles={(files) => openSamples(files, placeOf(files), claim.value?.preprocess, "samples", claim.value?.samples)}
    >
      {claim.value?.data === undefined || claim.value.samples === undefined ? null : (
        <p>
          The result of the link was tested on {integerText(claim.value.samples)} samples of{" "}
          <span class="name">{claim.value.data}</span>.
        </p>
      )}
      <p class="note">
        A folder of images (class folders, <span class="name">labels.csv</span>, <span class="name">train/</span> and{" "}
        <span class="name">test/</span>) or WAV files; .csv, .tsv, .jsonl, .npz, .txt; CIFAR and MNIST files.
      </p>
    </DropZone>
  );
}

function Heading(): JSX.Element | null {
  const { value } = samples;
  if (value === undefined) return null;
  const { original, metric, tested, available, calibrated, name } = value;
  const interval =
    original === undefined
      ? ""
      : `${Math.round(100 * original.confidence)} % interval: ${figureText(metric.unit, original.low)} to ${figureText(metric.unit, original.high)}. `;
  return (
    <>
      <p class="eyebrow">
        <span class="name">{name}</span>
      </p>
      <h1>
        {original === undefined
          ? `${integerText(tested)} samples without labels: candidates are compared with the original.`
          : metric.name === "accuracy"
            ? unbroken(
                `The original predicts ${figureText(metric.unit, original.value)} of ${integerText(tested)} samples correctly.`,
              )
            : `${metric.name} of the original: ${figureText(metric.unit, original.value)} on ${integerText(tested)} samples.`}
      </h1>
      <p class="lead">
        {interval}
        {available === undefined || available <= tested || missingFiles.value !== undefined ? null : (
          <>
            {`Of ${integerText(available)} test samples, ${integerText(tested)} are used. `}
            <button
              type="button"
              class="link"
              onClick={() => openSamples([], name, samplesRequest.value?.preprocess, "samples", available)}
            >
              Test on all {integerText(available)}
            </button>
            {". "}
          </>
        )}
        {calibrated > 0 ? `${integerText(calibrated)} separate samples calibrate.` : ""}
      </p>
    </>
  );
}

function Preprocessing(): JSX.Element | null {
  const { value } = samples;
  if (value?.preprocessing === undefined) return null;
  const { preprocessing, tried } = value;
  const isGuess = preprocessing.startsWith("guessed");
  return (
    <>
      <h2>Preprocessing</h2>
      {tried === undefined ? (
        isGuess ? (
          <p class="doubt">
            {preprocessing}. No file states it: compare it with what your application does. A wrong one makes all
            results useless.
          </p>
        ) : (
          <p>{preprocessing}</p>
        )
      ) : (
        <>
          <p class="doubt">
            No file states the preprocessing, so common ones were tried. The first one fits best, and is used. Compare
            it with your application’s code.
          </p>
          <Tried tried={tried} />
        </>
      )}
      {isGuess || value.shown.some(({ input }) => input !== undefined) ? <PreprocessingForm /> : null}
    </>
  );
}

/** Opens the samples again with a preprocessing that the user states in words, as for `--preprocess`. */
function PreprocessingForm(): JSX.Element | null {
  const { value: data } = triedData;
  if (data === undefined) return null;
  const open = (event: TargetedSubmitEvent<HTMLFormElement>): void => {
    event.preventDefault();
    const text = new FormData(event.currentTarget).get("preprocess");
    if (typeof text === "string") openSamples([], data, text);
  };
  return (
    <form class="stated" onSubmit={open}>
      <label for="preprocess">Preprocessing</label>
      <input
        id="preprocess"
        name="preprocess"
        required
        list="preprocessings"
        placeholder="imagenet"
        autocomplete="off"
        spellcheck={false}
      />
      <datalist id="preprocessings">
        {Object.entries(presetMeanings).map(([name, meaning]) => (
          <option key={name} value={name} label={`${name}: ${meaning}`} />
        ))}
      </datalist>
      <button type="submit">Use it</button>
      <p class="note">
        A name such as <code>imagenet</code>, values such as <code>scale=1 mean=127 std=127</code>, or for sound{" "}
        <code>frame=512 context=64 rate=16000</code>.
      </p>
    </form>
  );
}

/** Accuracy of the original with each preprocessing that was tried. */
function Tried({ tried }: { tried: NonNullable<SamplesView["tried"]> }): JSX.Element {
  return (
    <Table
      label="Preprocessings that were tried"
      columns={[
        { title: "preprocessing" },
        { title: "accuracy", kind: "n" },
        { title: "images", kind: "n" },
        { title: <span class="sr">result</span> },
      ]}
      rows={tried.map(({ name, accuracy, fits }, index) => ({
        key: name,
        cells: [
          <>
            {name}
            <small>{presetMeanings[name.split(" ")[0] ?? ""]}</small>
          </>,
          percentText(accuracy.value),
          integerText(accuracy.count),
          index === 0 ? "used" : missingFiles.value === undefined ? use(name, fits) : "",
        ],
      }))}
    />
  );
}

const use = (name: string, fits: boolean): JSX.Element => (
  <>
    <button type="button" class="link" onClick={() => openSamples([], triedData.value ?? "", name)}>
      use
    </button>
    {fits ? " (too close to the first to tell which is right)" : ""}
  </>
);

function Shown(): JSX.Element | null {
  const { value } = samples;
  if (value === undefined || value.shown.length === 0) return null;
  return (
    <>
      <h2>What the network receives</h2>
      <p class="note">
        {value.shown.some(({ input }) => input !== undefined)
          ? "Left: the sample. Right: the input of the network. Below: the predictions of the original."
          : "Each sample, and the predictions of the original."}
      </p>
      <ul class="samples">
        {value.shown.map(({ position, stored, input, label, top }) => (
          <li key={position}>
            <div class="pair">
              <Sample view={stored} />
              {input === undefined ? null : <NetworkInput pixels={input} />}
            </div>
            <p class="note">sample {position}</p>
            {label === undefined ? null : (
              <p>
                labeled <b>{className(label)}</b>
              </p>
            )}
            <Probabilities top={top} label={label} />
          </li>
        ))}
      </ul>
    </>
  );
}
