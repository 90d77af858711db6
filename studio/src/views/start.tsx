import type { JSX, TargetedSubmitEvent } from "preact";
import { isServed } from "../backend/kind.ts";
import { ProblemAlert } from "../components/alert.tsx";
import { DropZone } from "../components/drop-zone.tsx";
import { ProgressBox } from "../components/progress.tsx";
import { StoredSessions } from "../components/stored-sessions.tsx";
import { exampleFile, examples, openExample } from "../examples.ts";
import { openModel, openPlace } from "../state/opening.ts";
import { job } from "../state/signals.ts";

export function Start(): JSX.Element {
  const open = (event: TargetedSubmitEvent<HTMLFormElement>): void => {
    event.preventDefault();
    const address = new FormData(event.currentTarget).get("address");
    if (typeof address === "string") openPlace(address);
  };
  return (
    <section>
      <h1>Your visitors download your model. Make it a fraction of its size.</h1>
      <p class="lead">
        Make an ONNX model smaller {isServed ? "on this computer" : "in this tab"}, see which predictions change, and
        take the file.
      </p>
      <ProblemAlert place="start" />
      <ProgressBox place="start" />
      <DropZone title="Drop a model file here" accept=".onnx,.onnx_data,.data" onFiles={openModel}>
        <form onSubmit={open}>
          <label for="address">or open a URL</label>
          <input
            type="url"
            id="address"
            name="address"
            required
            placeholder="https://…/model.onnx"
            autocomplete="off"
            spellcheck={false}
          />
          <button type="submit">Open</button>
        </form>
        <p class="note">
          <b>.onnx</b>, with or without external data files.{" "}
          {isServed
            ? "A chosen file is copied to a temporary folder. A file that the command line names is read where it is."
            : "Models up to about 1 GB can be opened in a tab; the command line has no limit."}
        </p>
      </DropZone>
      {isServed ? null : <StoredSessions />}
      <Examples />
      {isServed ? (
        <>
          <h2>Runs on this computer with the native runtime</h2>
          <p>
            <code>pith studio</code> reads, changes and runs the model and the samples. Its server accepts connections
            of this browser only. Nothing is sent to other machines. Only opening a URL fetches a file.
          </p>
        </>
      ) : (
        <>
          <h2>Nothing leaves this tab</h2>
          <p>
            The model and the samples are read, changed and run by this page, in a worker. Nothing is sent anywhere, and
            no account is needed. Only opening a URL fetches a file. The browser stores candidates and settings on this
            machine, until you remove them.
          </p>
        </>
      )}
    </section>
  );
}

function Examples(): JSX.Element {
  return (
    <>
      <h2>Or try an example</h2>
      <ul class="examples">
        {examples.map((example) => (
          <li key={example.name}>
            <button type="button" onClick={() => openExample(example)} disabled={job.value !== undefined}>
              {example.title}
            </button>
            <p>{example.summary}</p>
            <p class="note">Source: {example.source}.</p>
            <p class="note">
              <a href={exampleFile(example)} download={`${example.name}.zip`}>
                {example.name}.zip
              </a>
              : the model and its samples
            </p>
          </li>
        ))}
      </ul>
    </>
  );
}
