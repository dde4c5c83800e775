"""Partners in conversation: model servers over the network, and questions and answers of the operator's own."""
