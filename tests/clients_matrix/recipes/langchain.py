from uuid import uuid4

from langchain_openai import ChatOpenAI

ref = str(uuid4())  # a stream does not show the draft's id, so the client chooses a reference
model = ChatOpenAI(model="corll", extra_body={"metadata": {"corll_ref": ref}})
for chunk in model.stream("The parcel is late."):
    print(chunk.content, end="")
edit = {"ref": ref, "text": "Your parcel comes on Friday."}
model.root_client.post("/edits", cast_to=object, body=edit)
