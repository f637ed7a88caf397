import os

import requests
from lm_eval.api.instance import Instance
from lm_eval.models.openai_completions import LocalCompletionsAPI

url = os.environ["OPENAI_BASE_URL"]  # the key is the user's, so it is their adapter that is judged
# A folder with the base's tokenizer, or its hub id. Of ids in place of a text nothing is kept.
told = {"tokenizer": os.environ["TOKENIZER"], "tokenized_requests": False}
lm = LocalCompletionsAPI(f"{url}/completions", model="corll", **told)
pair = Instance("loglikelihood", {}, ("The parcel is", " late."), 0)
print("log-probability:", lm.loglikelihood([pair])[0])
asked = Instance("generate_until", {}, ("The parcel is", {"until": ["\n"]}), 0)
edit = {"draft_text": lm.generate_until([asked])[0], "text": " on its way."}
key = {"authorization": f"Bearer {os.environ['OPENAI_API_KEY']}"}
requests.post(f"{url}/edits", json=edit, headers=key).raise_for_status()
