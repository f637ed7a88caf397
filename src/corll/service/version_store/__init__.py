"""Where folders of weights lie: in the data folder, or in a store that several machines share."""
