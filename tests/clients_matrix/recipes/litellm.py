import os

import httpx
import litellm

asked = [{"role": "user", "content": "The parcel is late."}]
draft = litellm.completion(model="openai/corll", messages=asked)  # OPENAI_BASE_URL, OPENAI_API_KEY
edit = {"draft_id": draft.id, "text": "Your parcel comes on Friday."}
key = {"authorization": f"Bearer {os.environ['OPENAI_API_KEY']}"}
url = f"{os.environ['OPENAI_BASE_URL']}/edits"
httpx.post(url, json=edit, headers=key).raise_for_status()
