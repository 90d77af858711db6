import type { JSX, TargetedSubmitEvent } from "preact";
import { ProblemAlert } from "../components/alert.tsx";
import { DropZone } from "../components/drop-zone.tsx";
import { ProgressBox } from "../components/progress.tsx";
import { StoredSessions } from "../components/stored-sessions.tsx";
import { openModel, openUrl } from "../state.ts";

export function Start(): JSX.Element {
  const open = (event: TargetedSubmitEvent<HTMLFormElement>): void => {
    event.preventDefault();
    const address = new FormData(event.currentTarget).get("address");
    if (typeof address === "string") openUrl(address);
  };
  return (
    <section>
      <h1>Make an ONNX model smaller, and see what it loses.</h1>
      <p class="lead">
        Prune, quantize or factorize a model in this tab. Compare its predictions with the original’s, then download it.
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
          <b>.onnx</b>, with or without external data files. Models up to about 1 GB can be opened in a tab; the command
          line has no limit.
        </p>
      </DropZone>
      <StoredSessions />
      <h2>Nothing leaves this tab</h2>
      <p>
        The model and the samples are read, changed and run by this page, in a worker. There is no upload, no account
        and no telemetry. Only opening a URL fetches a file. The browser stores candidates and settings on this machine,
        until you remove them.
      </p>
    </section>
  );
}
